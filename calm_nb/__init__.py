__version__ = "0.1.0"

from calm_nb.calm import CALM
