"""Findings in words: what is wrong where, since when, how far, why, what comes, and what to do."""

from analytics.explain.causes import CAUSES, CauseText
from analytics.explain.finding import explain, headline, job_sizes

__all__ = ["CAUSES", "CauseText", "explain", "headline", "job_sizes"]
