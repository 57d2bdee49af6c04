"""The plant's facility devices as a real site has them: each answers in its own protocol.

What is served is what the plant says of the device (`view.Emitter.device`), so that drills act through it.
Who speaks what stands in `endpoints`, the servers in `snmp`, `modbus`, `redfish` and `mqtt`, and what each
kind of device says there in the tables beside them.
"""
