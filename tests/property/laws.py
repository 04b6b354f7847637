"""The profile under which all properties run: reproducible, and as long as it takes."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "laws", deadline=None, derandomize=True, max_examples=200, suppress_health_check=[HealthCheck.too_slow]
)
# To see that a broken program is caught, nobody needs the smallest example.
settings.register_profile("mutants", settings.get_profile("laws"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("laws")
