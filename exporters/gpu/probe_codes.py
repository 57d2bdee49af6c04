"""How a probing process is started and what its exit status means; both sides of the question read this."""

COMMAND = "from exporters.gpu.probe import main; main()"
ANSWERS, GONE, FAILED = 0, 3, 4
"""It answers; it says that it is lost or needs a reset; anything else."""
