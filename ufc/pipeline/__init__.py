"""`UFCPipeline`, a file for each of its jobs.

parts       what it is made of, and what follows from that
placement   where it computes, and in which numbers
coding      pictures to codes and back, words to ids
generation  pictures of ready conditionings
pipeline    loading, saving, and the call
"""

from ufc.pipeline.generation import StepCallback
from ufc.pipeline.pipeline import UFCPipeline
from ufc.pipeline_output import PipelineOutput

__all__ = ["PipelineOutput", "StepCallback", "UFCPipeline"]
