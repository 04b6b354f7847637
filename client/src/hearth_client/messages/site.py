"""What a site says about itself."""

from __future__ import annotations

from hearth_client.messages.base import Answer


class SiteSettings(Answer):
    """`GET /settings`; no storage means that the site keeps no buckets."""

    storage: str | None


class Version(Answer):
    """One version of the API (`GET /versions`)."""

    version: str
    end_of_life: str | None = None


class Status(Answer):
    """`GET /status`: the site answers, and knows who asks."""

    status: str
    email: str
