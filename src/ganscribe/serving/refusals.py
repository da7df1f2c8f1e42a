"""What a served model refuses, in words for the person who has asked."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.types import ParamSpec


class Refused(MlflowException):
    """What is wrong with a request. The server answers with status 400 and this message alone.

    MLflow's server puts all that was sent in front of a message before it answers; this one cannot be changed.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        super().__init__(message, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The reason."""
        return self._message

    @message.setter
    def message(self, value: str) -> None:
        """Keep the reason as it is."""


def check_request(
    data: Any, params: Any, *, inputs: Mapping[str, str], params_known: Sequence[ParamSpec]
) -> None:
    """Raise Refused for unknown columns and parameters, and for columns and rows that are missing.

    `inputs` says what a row has, by the name of its column. Data that are neither a data frame nor columns by name are
    not looked at.
    """
    wanted = ", ".join(f"{name} ({meaning})" for name, meaning in inputs.items())
    if isinstance(data, pd.DataFrame | Mapping):
        if not len(data):
            raise Refused(f"the request has no rows: send at least one, with {wanted}")
        for name in data:
            if name not in inputs:
                raise Refused(f"{name!r} is unknown: a row has {wanted}, and nothing else")
        for name in inputs:
            if name not in data:
                raise Refused(f"{name!r} is missing: a row has {wanted}")
    if not isinstance(params, Mapping | None):
        raise Refused(f"params is {params!r}: send an object with names and values")
    names = [spec.name for spec in params_known]
    for name, value in (params or {}).items():
        if name not in names:
            known = f"what there is: {', '.join(names)}" if names else "this model has none"
            raise Refused(f"the parameter {name!r} is unknown: {known}")
        if not isinstance(value, bool):  # of which kind all parameters are
            raise Refused(f"the parameter {name!r} is {value!r}: send true or false")


def refuse_before_mlflow() -> None:
    """Have MLflow ask a loaded model's own `check` first, where it has one.

    MLflow drops columns and parameters that a model's signature does not name, with a line in the server's log, and the
    model never sees them. What it refuses itself it answers with everything that was sent.
    """
    predict = mlflow.pyfunc.PyFuncModel.predict
    if hasattr(predict, "asks_model"):
        return

    @functools.wraps(predict)
    def asking(self: Any, data: Any, params: Any = None) -> Any:
        check = getattr(self._model_impl, "check", None)
        if check is None:
            return predict(self, data, params)
        check(data, params)
        try:
            return predict(self, data, params)
        except MlflowException as error:
            if isinstance(error, Refused):
                raise
            raise Refused("the request does not have the form of rows with named columns") from error

    asking.asks_model = True  # type: ignore[attr-defined]
    mlflow.pyfunc.PyFuncModel.predict = asking
