from runner.comparison.compare import compare as compare
from runner.comparison.result import Comparison as Comparison
from runner.config import ConfigError as ConfigError
from runner.config import StudyError as StudyError
