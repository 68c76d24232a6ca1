"""Metrics against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule.nn.functional as F
from chainrule import nn
from chainrule.train.metrics import EVALUATION_BATCH, Evaluation, confusion, evaluate, in_words, measure, outputs_for
from chainrule.train.problem import Examples


def test_regression_errors_are_scaled_to_the_unit_and_r2_is_not() -> None:
    evaluation = Evaluation(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [5.0]]), 3.0)
    metrics = measure(evaluation, "regression", (10.0, 100.0))
    assert metrics == pytest.approx({"rmse": 10 * math.sqrt(3), "mae": 10.0, "r2": 1 - 9 / 14})


def test_r2_of_targets_that_are_all_the_same_is_not_a_number() -> None:
    assert math.isnan(measure(Evaluation(np.ones((3, 1)), np.ones((3, 1)), 0.0), "regression")["r2"])


def test_accuracy_and_confusion_count_the_highest_output() -> None:
    outputs = np.array([[2.0, 1, 0], [0, 3, 1], [0, 2, 1], [5, 4, 3]])
    evaluation = Evaluation(outputs, np.array([0, 1, 2, 2]), 0.0)
    assert measure(evaluation, "classification") == {"accuracy": 0.5}
    assert confusion(evaluation, 3) == [[1, 0, 0], [0, 1, 0], [1, 1, 0]]


def test_outputs_that_fit_no_metric_leave_the_loss_alone() -> None:
    odd = Evaluation(np.ones((3, 2)), np.ones((3, 1)), 0.0)
    assert measure(odd, "regression") == measure(odd, "other") == measure(odd, "classification") == {}


def test_evaluation_in_parts_is_that_of_the_whole_and_leaves_the_mode() -> None:
    rng = np.random.default_rng(0)
    n = EVALUATION_BATCH + 7
    data = Examples(rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 2, n))
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9))
    model.train()
    evaluation = evaluate(model, F.cross_entropy, data)
    assert model.training
    weight, bias = (p.detach().numpy() for p in model.parameters())
    logits = data.inputs @ weight.T + bias
    np.testing.assert_allclose(evaluation.outputs, logits, atol=1e-6)
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(n), data.targets])
    assert evaluation.loss == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(outputs_for(model, data.inputs), evaluation.outputs)


def test_metrics_in_words() -> None:
    assert in_words({"accuracy": 0.97531, "rmse": 1234.56}) == "accuracy 97.53%  RMSE 1,235"
