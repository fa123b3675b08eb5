__version__ = "0.1.0"

from calm_nb.estimator import CALM
from calm_nb.hierarchical import HierarchicalCALM
