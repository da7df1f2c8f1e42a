"""What a served model refuses, in words for the person who sent the request."""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.types import DataType, ParamSpec

FORMS = {"dataframe_split", "dataframe_records", "instances", "inputs"}  # MLflow's keys for rows
_log = logging.getLogger(__name__)


class Refused(MlflowException):
    """What is wrong with a request. The server answers with status 400 and this message alone.

    MLflow's server puts the whole request in front of a message before it answers, but it cannot change this message.
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

    `inputs` says what each column of a row contains. Data that are neither a data frame nor columns by name are not
    checked.
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
            known = f"the model knows {', '.join(names)}" if names else "this model has none"
            raise Refused(f"the parameter {name!r} is unknown: {known}")
        if not isinstance(value, bool):  # all parameters are of this type
            raise Refused(f"the parameter {name!r} is {value!r}: send true or false")


def check_body(body: bytes, *, whole_numbers: bool = False) -> None:
    """Raise Refused if `body` is not the JSON of one request, or has anything besides rows and params.

    `whole_numbers`: also if its rows have a number that is not whole, because MLflow would cut off the fraction.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the request is not JSON: {error}") from error
    if not isinstance(request, dict) or len(FORMS & request.keys()) != 1:
        raise Refused(f"the request has to be an object with its rows in one of {', '.join(sorted(FORMS))}")
    for name in request.keys() - FORMS - {"params"}:
        raise Refused(f"{name!r} is unknown: besides its rows, a request may have only params, an object")
    left = [request[name] for name in FORMS & request.keys()] if whole_numbers else []
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value
        elif isinstance(value, float) and not value.is_integer():
            raise Refused(f"{value} is not a whole number")


def refuse_before_mlflow() -> None:
    """Make MLflow call a loaded model's own `check_request` first, if it has one.

    MLflow drops parameters, columns and whatever else a model's signature does not name, and only writes a line in the
    server's log, so the model never sees them. When MLflow itself refuses a request, its answer repeats the whole
    request, or is a stack trace. Other models of the process are served as before.
    """
    from mlflow.pyfunc import scoring_server

    predict, invocations = mlflow.pyfunc.PyFuncModel.predict, scoring_server.invocations
    if hasattr(predict, "asks_model"):
        return

    @functools.wraps(predict)
    def asking(self: Any, data: Any, params: Any = None) -> Any:
        if not hasattr(self._model_impl, "check_request"):
            return predict(self, data, params)
        self._model_impl.check_request(data, params)
        try:
            return predict(self, data, params)
        except MlflowException as error:
            if isinstance(error, Refused):
                raise
            raise Refused("the request does not consist of rows with named columns") from error

    @functools.wraps(invocations)
    def serving(data: bytes, content_type: str | None, model: Any, input_schema: Any) -> Any:
        if not hasattr(getattr(model, "_model_impl", None), "check_request"):
            return invocations(data, content_type, model, input_schema)
        if (content_type or "").partition(";")[0].strip() == "application/json":
            check_body(data, whole_numbers=any(kind == DataType.long for kind in input_schema.input_types()))
        try:
            return invocations(data, content_type or "none", model, input_schema)
        except MlflowException as error:
            if isinstance(error, Refused):
                raise
            # It may be a fault of the model, which is none of the sender's business.
            if "stack_trace" in error.json_kwargs:
                _log.error("a request could not be answered", exc_info=True)
            whole = re.search(r"Failed to convert column (\w+) to type 'int64'", error.message)
            raise Refused(f"{whole[1]!r} has to be a whole number" if whole else error.message) from error

    asking.asks_model = True  # type: ignore[attr-defined]
    mlflow.pyfunc.PyFuncModel.predict = asking
    scoring_server.invocations = serving
