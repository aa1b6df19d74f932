from loadcheck.api import Comparison as Comparison
from loadcheck.api import Figure as Figure
from loadcheck.api import Finding as Finding
from loadcheck.api import Lag as Lag
from loadcheck.api import Latency as Latency
from loadcheck.api import Result as Result
from loadcheck.api import Step as Step
from loadcheck.api import Threshold as Threshold
from loadcheck.api import compare as compare
from loadcheck.api import load as load
from loadcheck.api import run as run
from loadcheck.api import run_sync as run_sync
from loadcheck.errors import ConsentError as ConsentError
from loadcheck.errors import InputError as InputError
from loadcheck.errors import LoadcheckError as LoadcheckError
from loadcheck.errors import ResultFileError as ResultFileError
from loadcheck.errors import ScenarioError as ScenarioError
from loadcheck.errors import TargetError as TargetError
from loadcheck.errors import WorkflowError as WorkflowError

__version__: str
