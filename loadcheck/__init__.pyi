from loadcheck.api import Comparison as Comparison
from loadcheck.api import ConsentError as ConsentError
from loadcheck.api import Figure as Figure
from loadcheck.api import Finding as Finding
from loadcheck.api import InputError as InputError
from loadcheck.api import Lag as Lag
from loadcheck.api import Latency as Latency
from loadcheck.api import LoadcheckError as LoadcheckError
from loadcheck.api import Result as Result
from loadcheck.api import ResultFileError as ResultFileError
from loadcheck.api import ScenarioError as ScenarioError
from loadcheck.api import Step as Step
from loadcheck.api import TargetError as TargetError
from loadcheck.api import Threshold as Threshold
from loadcheck.api import WorkflowError as WorkflowError
from loadcheck.api import compare as compare
from loadcheck.api import load as load
from loadcheck.api import run as run
from loadcheck.api import run_sync as run_sync

__version__: str
__all__ = [
    "Comparison",
    "ConsentError",
    "Figure",
    "Finding",
    "InputError",
    "Lag",
    "Latency",
    "LoadcheckError",
    "Result",
    "ResultFileError",
    "ScenarioError",
    "Step",
    "TargetError",
    "Threshold",
    "WorkflowError",
    "compare",
    "load",
    "run",
    "run_sync",
]
