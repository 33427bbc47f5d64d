"""`UFCPipeline`, a file for each of its jobs.

parts       what it is made of, and what follows from that
placement   where it computes, and in which numbers
coding      pictures to codes and back, words to ids
generation  pictures of ready conditionings
judging     who judges them beside the model's own scores, and what they have to reach
adapting    low-rank adapters
storage     loading and saving; `loading` says what is meant by diffusers' names
callbacks   what is told of a step, what comes of what is returned, and the bar
pipeline    the call
memory_saving  what diffusers' pipelines are told to do with less memory, in this one's terms
diffusers_pipeline  the same as a `DiffusionPipeline`
"""

from ufc.pipeline.callbacks import StepCallback
from ufc.pipeline.pipeline import UFCPipeline
from ufc.pipeline_output import PipelineOutput

__all__ = ["PipelineOutput", "StepCallback", "UFCPipeline"]
