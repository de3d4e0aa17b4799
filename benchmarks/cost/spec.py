"""What a price file says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["PRICES", "Fixed", "Instance", "Prices", "Traffic"]

PRICES = Path(__file__).with_name("prices.yaml")


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sourced(Frozen):
    """A price, and where it is from."""

    source: str = Field(min_length=1, description="Where the price can be looked up.")
    date: dt.date = Field(description="When it was looked up, as YYYY-MM-DD.")


class Instance(Sourced):
    """A kind of machine."""

    name: str = Field(min_length=1, description="As the provider calls it.")
    vcpus: int = Field(ge=1, description="Its virtual cores.")
    usd_per_hour: float = Field(gt=0, description="Price of an hour.")


class Fixed(Sourced):
    """A cost that does not depend on the number of machines."""

    name: str = Field(min_length=1, description="What it is.")
    usd_per_month: float = Field(ge=0, description="Price of a month.")


class Traffic(Frozen):
    """What answers cost on the wire."""

    bytes_out_per_prediction: float = Field(0, ge=0, description="Size of an answer.")
    usd_per_gb_out: float | None = Field(None, ge=0, description="Price of 10^9 bytes.")
    source: str = Field("", description="Where that price can be looked up.")
    date: dt.date | None = Field(None, description="When it was.")

    @model_validator(mode="after")
    def sourced(self) -> Traffic:
        if self.usd_per_gb_out is not None and not (self.source and self.date):
            raise ValueError("`usd_per_gb_out` needs the `source` and the `date` of the price")
        return self


class Prices(Frozen):
    """A price file: every assumption a line."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this format.")
    target_per_s: float = Field(gt=0, description="Predictions a second, all month.")
    budget_usd_per_month: float = Field(gt=0, description="What a month may cost.")
    utilisation: float = Field(
        gt=0, le=1, description="Part of the measured throughput that is planned for."
    )
    spares: int = Field(ge=0, description="Machines beyond those that the load needs.")
    hours_per_month: float = Field(gt=0, description="Hours that are paid for.")
    instances: tuple[Instance, ...] = Field(min_length=1, description="Kinds of machines.")
    traffic: Traffic = Traffic()
    fixed: tuple[Fixed, ...] = ()
