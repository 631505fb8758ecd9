"""Systems that runbooks run on, their secrets, and when they may be touched."""

from django.db import models
from django.utils import timezone

from supportdesk import crypto


class Target(models.Model):
    """A system with named connections (`runbooks.connections`), labels, windows and freezes.

    `windows`: when changes are allowed, [{days: [mon], from: "22:00", to: "04:00"}] in `zone`; empty: always.
    `freezes`: when they are not, [{from: ISO 8601, to: ISO 8601, reason}].
    `approvals`: how many people say yes by risk, {change: 1, destructive: 2}; a runbook may ask for more.
    """

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    environment = models.CharField(max_length=40, default="production")
    site = models.SlugField(blank=True, help_text="Workers of this site take its runs; empty: any worker.")
    labels = models.JSONField(default=dict, blank=True)
    connections = models.JSONField(default=dict)
    zone = models.CharField(max_length=64, default="UTC")
    windows = models.JSONField(default=list, blank=True)
    freezes = models.JSONField(default=list, blank=True)
    approvals = models.JSONField(default=dict, blank=True)
    run_level = models.PositiveSmallIntegerField(default=1, help_text="The tier that changing it needs at least.")
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Secret(models.Model):
    """A value encrypted at rest, read only by the worker that runs a step."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="secrets")
    name = models.SlugField()
    ciphertext = models.BinaryField()
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target", "name"], name="secret_once")]

    def __str__(self) -> str:
        return self.name

    def reveal(self) -> str:
        return crypto.decrypt(bytes(self.ciphertext))


class SecretUse(models.Model):
    """That a run was given a secret."""

    secret = models.ForeignKey(Secret, on_delete=models.CASCADE, related_name="uses")
    execution = models.ForeignKey("Execution", on_delete=models.CASCADE, related_name="secret_uses")
    attempt = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["secret", "execution", "attempt"], name="secret_use_once_an_attempt")
        ]

    def __str__(self) -> str:
        return f"{self.secret_id} in {self.execution_id}"


class TargetCheck(models.Model):
    """How the last test of a connection went."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="checks")
    connection = models.CharField(max_length=40)
    ok = models.BooleanField()
    message = models.CharField(max_length=500)
    milliseconds = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target", "connection"], name="target_check_once")]

    def __str__(self) -> str:
        return f"{self.connection} of {self.target_id}"


class Threshold(models.Model):
    """A metric of the guide with its limits."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    group = models.CharField(max_length=40)
    unit = models.CharField(max_length=12, blank=True)
    warning = models.FloatField()
    critical = models.FloatField()
    below = models.BooleanField(default=False, help_text="Whether less is worse.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["group", "position"]

    def __str__(self) -> str:
        return self.name

    def level_of(self, value: float) -> str:
        """`ok`, `warning` or `critical`; a value at a limit is still within it."""
        if self.below:
            return "critical" if value < self.critical else "warning" if value < self.warning else "ok"
        return "critical" if value > self.critical else "warning" if value > self.warning else "ok"
