"""Noise processes, and how to get one back from its description in a document."""

from __future__ import annotations

from fewstep.process.base import Process
from fewstep.process.families import FAMILIES, process_from_description
from fewstep.process.flow_matching import FlowMatching
from fewstep.process.variance_exploding import EDM, VE
from fewstep.process.vp_cosine import VPCosine
from fewstep.process.vp_discrete import VPDiscrete
from fewstep.process.vp_linear import SubVP, VPLinear

__all__ = [
    "EDM",
    "FAMILIES",
    "VE",
    "FlowMatching",
    "Process",
    "SubVP",
    "VPCosine",
    "VPDiscrete",
    "VPLinear",
    "process_from_description",
]
