"""Every error the project raises on purpose, as one tree with stable codes.

    FewstepError                  fewstep-error           500
    |-- InvalidInput              invalid-input           422   a value not allowed; names the field
    |   |-- UnknownName           unknown-name            422   a name no registry holds
    |   |-- UnsafeCheckpoint      unsafe-checkpoint       422   not safetensors or JSON
    |   `-- ChecksFailed          checks-failed           422   files that differ from their card
    |-- NotFound                  not-found               404
    |-- Conflict                  conflict                409   the object's state forbids it
    |-- MalformedBody             malformed-body          400   no JSON that we read
    |-- UnsupportedMediaType      unsupported-media-type  415
    |-- TooLarge                  body-too-large          413
    |-- TooMany                   too-many                429   a quota is used up; try again later
    |-- MissingExtra              missing-extra           501   an optional package is not installed
    |-- ServiceUnreachable        service-unreachable     503
    |-- TeacherImplausible        teacher-implausible     422   full-step FID too high
    |-- ScoringFailed             scoring-failed          500   our own machinery, not a candidate
    |-- Cancelled                 cancelled               409
    `-- LeaseLost                 lease-lost              409   another worker owns the search now

A message says what was wrong, the value, and what is allowed.
"""

from __future__ import annotations

from typing import ClassVar


class FewstepError(Exception):
    """Base of the tree; `code` is stable, `status` is its HTTP status, `field` what it is about."""

    code: ClassVar[str] = "fewstep-error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidInput(FewstepError):
    """A value that is not allowed."""

    code = "invalid-input"
    status = 422


class UnknownName(InvalidInput):
    """A name that no registry holds; the message lists the names there are."""

    code = "unknown-name"


class UnsafeCheckpoint(InvalidInput):
    """A file that is not plain safetensors or JSON. Nothing of it was executed."""

    code = "unsafe-checkpoint"


class ChecksFailed(InvalidInput):
    """Weights or statistics that differ from what their card says."""

    code = "checks-failed"


class NotFound(FewstepError):
    """No such object, or not one that the caller may see."""

    code = "not-found"
    status = 404


class Conflict(FewstepError):
    """The object's current state does not allow the request."""

    code = "conflict"
    status = 409


class MalformedBody(FewstepError):
    """A body that is not JSON as we read it: strict UTF-8, finite numbers, whole characters."""

    code = "malformed-body"
    status = 400


class UnsupportedMediaType(FewstepError):
    """A body that does not claim to be JSON."""

    code = "unsupported-media-type"
    status = 415


class TooLarge(FewstepError):
    """A request body above the limit."""

    code = "body-too-large"
    status = 413


class TooMany(FewstepError):
    """A quota is used up."""

    code = "too-many"
    status = 429


class MissingExtra(FewstepError):
    """An optional package is not installed; the message says which extra brings it."""

    code = "missing-extra"
    status = 501


class ServiceUnreachable(FewstepError):
    """The service did not answer."""

    code = "service-unreachable"
    status = 503


class TeacherImplausible(FewstepError):
    """The full-step model is too far from its reference: wrong flags, wrong data, wrong weights."""

    code = "teacher-implausible"
    status = 422


class ScoringFailed(FewstepError):
    """Our scoring machinery failed, as opposed to a candidate that scores badly."""

    code = "scoring-failed"


class Cancelled(FewstepError):
    """The search was cancelled by its owner."""

    code = "cancelled"
    status = 409


class LeaseLost(FewstepError):
    """Another worker has taken the search over; nothing more may be written under this lease."""

    code = "lease-lost"
    status = 409
