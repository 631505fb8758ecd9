"""The roles that the tables name, alone and together."""

ROLES = ("nobody", "tierless", "tier1", "tier2", "tier3", "lead", "administrator", "auditor", "integration")
READERS = {"tier1", "tier2", "tier3", "lead", "administrator", "auditor", "integration"}
NOTERS = READERS - {"auditor"}
TIER2 = {"tier2", "tier3", "lead", "administrator"}
TIER3 = {"tier3", "lead", "administrator"}
SETTINGS = {"lead", "administrator", "auditor"}
MAKERS = {"lead", "administrator"}
TIERED = {"tier1", "tier2", "tier3", "lead", "administrator"}
SIGNED_IN = set(ROLES) - {"nobody"}
RESTRICTED = {"lead", "administrator", "auditor"}

SCHEDULE = {"runbook": "reads-only", "targets": ["box"], "cron": "0 9 * * 1"}
