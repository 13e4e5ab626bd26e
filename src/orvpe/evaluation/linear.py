"""Linear classifiers on fixed features: logistic regression and ridge regression."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from orvpe.errors import InputError


def _standardised(fit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], features: Tensor) -> nn.Linear:
    """Fit on standardised features and merge the standardisation into the layer (256 c + c parameters)."""
    x = features.double().cpu().numpy()
    mean, std = x.mean(axis=0), x.std(axis=0)
    std = np.where(std > 1e-8, std, 1.0)
    weight, bias = fit((x - mean) / std)
    weight = weight / std
    bias = bias - weight @ mean
    head = nn.Linear(x.shape[1], len(bias)).to(features.device)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    return head


def logistic_probe(features: Tensor, target: Tensor, classes: int, strength: float = 1.0) -> nn.Linear:
    """Multinomial logistic regression to its optimum (scikit-learn, L-BFGS), C = ``strength``."""
    from sklearn.linear_model import LogisticRegression

    y = target.cpu().numpy()
    if len(np.unique(y)) < 2:
        raise InputError("the training clips are all of one class, a logistic probe needs at least 2")

    def fit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = LogisticRegression(C=strength, max_iter=2000).fit(x, y)
        weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, -1e3)
        if len(found.classes_) == 2:  # scikit-learn keeps one row for two classes
            weight[found.classes_[1]], bias[found.classes_] = found.coef_[0], [0.0, found.intercept_[0]]
        else:
            weight[found.classes_], bias[found.classes_] = found.coef_, found.intercept_
        return weight, bias

    return _standardised(fit, features)


def logistic_of_versions(features: Tensor, target: Tensor, classes: int, strength: float = 1.0) -> nn.Linear:
    """`logistic_probe` of (versions, N, 256) features, (N,) targets; all versions of a clip weigh as one."""
    versions = len(features)
    return logistic_probe(features.flatten(0, 1), target.repeat(versions), classes, strength / versions)


def ridge_probe(features: Tensor, target: Tensor, classes: int, strength: float = 1.0) -> nn.Linear:
    """Ridge regression on one-hot targets in closed form; ``strength`` is lambda per clip / 1000."""
    one_hot = np.eye(classes)[target.cpu().numpy()]

    def fit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bias = one_hot.mean(axis=0)
        gram = x.T @ x + strength * len(x) / 1000 * np.eye(x.shape[1])
        return np.linalg.solve(gram, x.T @ (one_hot - bias)).T, bias

    return _standardised(fit, features)
