"""What a person sees."""

import sys
import warnings

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging


def say(text: str) -> None:
    print(f"export: {text}", file=sys.stderr, flush=True)


def quieten_libraries() -> None:
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    warnings.simplefilter("ignore")  # such as diffusers' of the rewriting that manifest.stage_entry tells of
