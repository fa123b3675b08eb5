__version__ = "0.1.0"

__all__ = ['CALM']


def __getattr__(name):
    "`CALM` is loaded when it is first asked for, since torch and scikit-learn take seconds."
    if name != 'CALM': raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from calm_nb.estimator import CALM
    return CALM


def __dir__(): return [*globals(), *__all__]
