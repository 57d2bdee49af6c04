"""Incidents: suspicions that share one physical cause, grouped through the topology."""

from analytics.incidents.keeper import Incidents, Patience
from analytics.incidents.model import Child, Incident
from analytics.incidents.topology import Surroundings, Work, surroundings_from

__all__ = ["Child", "Incident", "Incidents", "Patience", "Surroundings", "Work", "surroundings_from"]
