__version__ = "0.1.0"

_PLACES = dict(CALM='estimator', HierarchicalCALM='hierarchical')
__all__ = list(_PLACES)


def __getattr__(name):
    "Estimators are loaded when they are asked for, since torch and scikit-learn take seconds."
    if name not in _PLACES: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    return getattr(import_module(f'calm_nb.{_PLACES[name]}'), name)


def __dir__(): return [*globals(), *__all__]
