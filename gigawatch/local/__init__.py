"""The whole stack on one machine: up, status, down, drill, and the pager that shows what on-call receives."""
