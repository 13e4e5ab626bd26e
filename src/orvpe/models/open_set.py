"""A classifier that can answer unknown: the confidence of an answer, and the risk of giving it.

Three cues say how far an answer can be trusted: by how much its class leads, how far the clip's feature lies from the
nearest clips that were learned from (in typical distances of these), and whether the nearest is of the same class.
Distances are taken after whitening by the covariance within the classes: what varies from person to person, and with
what is hidden, counts less than what separates actions (docs/lab/unknown.md).  A logistic regression turns the cues
into the probability that the answer is right.  It is fitted on answers to clips that were not learned from: known
actions, and actions of no class.  On these the risk-coverage curve says which confidence is needed so that at most a
given share of the answers is wrong (El-Yaniv and Wiener, JMLR 2010).

Shapes: N clips, D feature width, K classes, P learned clips, B points of the curve.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError

RISK = 0.1  # share of wrong answers for which reports say what is answered
UNKNOWN = 1 / 3  # share of what will be met that is of no class (docs/lab/unknown.md)
MOST = 1000  # learned clips that are kept
POINTS = 64
_SURE = 8.0  # logit beyond which a larger lead adds nothing
_FAR = 4.0  # typical distances beyond which a clip is as strange as it can be
_MOST_CONFIDENT = 0.9999  # below 1, so that a threshold of 1 answers nothing
_CUES = 3
_NEAREST = 3  # learned clips whose mean distance counts
_SHRINK = 0.3  # of the covariance towards a multiple of the identity


@dataclass(frozen=True)
class Answers:
    """Answers given to N clips that were not learned from.

    Args:
        cues: (N, 3), see `cues`.
        right: (N,) bool; False for whatever is said of an action of no class.
        known: (N,) bool, whether the clip is of a class at all.
    """

    cues: np.ndarray
    right: np.ndarray
    known: np.ndarray


class OpenSet(nn.Module):
    """Confidence and risk of a classifier's answers; part of a model, saved with it.

    Args:
        prototypes: P.
        width: D.
    """

    def __init__(self, prototypes: int, width: int) -> None:
        super().__init__()
        for name, shape in (
            ("prototypes", (prototypes, width)), ("centre", (width,)), ("whitening", (width, width)), ("typical", ()),
            ("weight", (_CUES,)),
            ("bias", ()), ("thresholds", (POINTS,)), ("risks", (POINTS,)), ("coverages", (POINTS,)),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("classes", torch.zeros(prototypes, dtype=torch.int64))
        self.prototypes: Tensor
        self.centre: Tensor
        self.whitening: Tensor
        self.typical: Tensor
        self.weight: Tensor
        self.bias: Tensor
        self.thresholds: Tensor
        self.risks: Tensor
        self.coverages: Tensor
        self.classes: Tensor

    def confidence(self, features: Tensor, scores: Tensor) -> Tensor:
        """(N,) probability that the best class of ``scores`` (N, K) of ``features`` (N, D) is right."""
        learned = Learned(self.prototypes, self.classes, self.centre, self.whitening, self.typical)
        return (cues(features, scores, learned) @ self.weight + self.bias).sigmoid().clamp(max=_MOST_CONFIDENT)

    def probabilities(self, features: Tensor, scores: Tensor) -> Tensor:
        """(N, K): the best class has the confidence; what is missing to 1 is the probability of no class."""
        p = scores.softmax(dim=1)
        sure = self.confidence(features, scores)[:, None]
        most = p.amax(dim=1, keepdim=True)
        others = p * torch.minimum(sure / most, (1 - sure) / (1 - most).clamp(min=1e-9))
        best = F.one_hot(p.argmax(dim=1), p.shape[1]).bool()
        return torch.where(best, sure, others)

    def threshold(self, risk: float) -> float:
        """The lowest confidence from which on at most that share of the answers is wrong; 1 where there is none.

        Raises:
            InputError: a share outside (0, 1].
        """
        check_risk(risk)
        enough = (self.risks <= risk + 1e-6).nonzero().flatten()
        return 1.0 if not len(enough) else float(self.thresholds[enough[-1]])  # thresholds fall along the curve

    def coverage(self, risk: float) -> float:
        """The share of the known actions that is answered at that risk."""
        enough = (self.risks <= risk + 1e-6).nonzero().flatten()
        return 0.0 if not len(enough) else float(self.coverages[enough[-1]])


def check_risk(risk: float) -> None:
    """Nothing, for a share of answers that may be wrong.

    Raises:
        InputError: outside (0, 1].
    """
    if not 0 < risk <= 1:
        raise InputError(f"risk is {risk:g}, expected a share above 0, at most 1")


@dataclass(frozen=True)
class Learned:
    """Clips that a classifier has learned from, as new ones are compared with them.

    Args:
        prototypes: (P, D) whitened features of unit length.
        classes: (P,) their classes, as columns of the scores.
        centre: (D,) mean feature.
        whitening: (D, D), applied from the right.
        typical: distance of such a clip to the nearest others.
    """

    prototypes: Tensor
    classes: Tensor
    centre: Tensor
    whitening: Tensor
    typical: Tensor


def cues(features: Tensor, scores: Tensor, learned: Learned) -> Tensor:
    """(N, 3): the lead of the best class, the distance to the nearest learned clips, and whether both agree.

    Args:
        features: (N, D).
        scores: (N, K) of the classifier, as logits.
        learned: what it has learned from.
    """
    p = scores.log_softmax(dim=1)
    most, best = p.max(dim=1)
    rest = torch.log1p(-most.exp().clamp(max=1 - 1e-7))
    lead = (most - rest).clamp(-_SURE, _SURE)
    unit = F.normalize((features - learned.centre) @ learned.whitening, dim=1)
    alike, nearest = (unit @ learned.prototypes.T).topk(min(_NEAREST, len(learned.prototypes)), dim=1)
    far = ((1 - alike.mean(dim=1)) / learned.typical.clamp(min=1e-6)).clamp(max=_FAR)
    return torch.stack([lead, far, (learned.classes[nearest[:, 0]] == best).to(lead)], dim=1)


def learned_clips(features: Tensor, target: Tensor, groups: np.ndarray, copies: Tensor | None = None) -> Learned:
    """What `cues` compares with.

    Args:
        features: (P, D) of the clips that are learned from; at most `MOST` of them are kept.
        target: (P,) classes.
        groups: (P,) recordings; how far the nearest clips are is measured among other recordings where there are any.
        copies: (V, P, D) of occluded copies, which the covariance within the classes is estimated from too.
    """
    kept = torch.linspace(0, len(features) - 1, min(len(features), MOST)).round().long()
    features, target, groups = features[kept], target[kept], groups[kept.numpy()]
    everything = features[None] if copies is None else torch.cat([features[None], copies[:, kept]])
    centre = features.mean(dim=0)
    whitening = _whitening(everything, target)
    unit = F.normalize((features - centre) @ whitening, dim=1)
    alike = (unit @ unit.T).masked_fill(torch.from_numpy(groups[:, None] == groups[None]), -2.0)
    nearest = alike.topk(min(_NEAREST, len(alike)), dim=1).values
    usable = nearest[:, -1] > -1.5  # with enough clips of other recordings
    typical = (1 - nearest[usable].mean(dim=1)).median() if usable.any() else features.new_tensor(1.0)
    return Learned(unit, target, centre, whitening, typical.clamp(min=1e-4))


def _whitening(features: Tensor, target: Tensor) -> Tensor:
    """(D, D) inverse square root of the covariance within the classes of (V, P, D), shrunk towards a multiple of 1."""
    x = features.double()
    within = []
    for c in target.unique():
        own = x[:, target == c].flatten(0, 1)
        within.append(own - own.mean(dim=0))
    deviations = torch.cat(within)
    covariance = deviations.T @ deviations / len(deviations)
    same = covariance.diagonal().mean().clamp(min=1e-12)
    covariance = (1 - _SHRINK) * covariance + _SHRINK * same * torch.eye(len(covariance), dtype=x.dtype)
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors / values.clamp(min=1e-12).sqrt()).to(features.dtype)


def fit_open_set(learned: Learned, answers: Answers, unknown: float = UNKNOWN) -> OpenSet:
    """Fit confidence and risk.

    Args:
        learned: of `learned_clips`, all clips that the kept classifier has learned from.
        answers: to clips that the classifiers which answered had not learned from; of both kinds, known and not.
        unknown: the share of what will be met that is of no class.

    Raises:
        InputError: answers of one kind only.
    """
    from sklearn.linear_model import LogisticRegression

    if answers.known.all() or not answers.known.any():
        raise InputError("answers to known and to unknown actions are needed to fit a confidence")
    weight = np.where(answers.known, (1 - unknown) / answers.known.sum(), unknown / (~answers.known).sum())
    made = OpenSet(*learned.prototypes.shape)
    if len(np.unique(answers.right)) == 2:
        found = LogisticRegression().fit(answers.cues, answers.right, weight * len(weight))
        made.weight.copy_(torch.from_numpy(found.coef_[0]))
        made.bias.fill_(float(found.intercept_[0]))
    else:  # nothing was right
        made.bias.fill_(-5.0)
    for field in fields(learned):
        getattr(made, field.name).copy_(getattr(learned, field.name))
    sure = (torch.from_numpy(answers.cues).float() @ made.weight + made.bias).sigmoid().clamp(max=_MOST_CONFIDENT)
    curve = risk_curve(sure.numpy(), answers.right, answers.known, weight)
    for name, values in zip(("thresholds", "risks", "coverages"), curve, strict=True):
        getattr(made, name).copy_(torch.from_numpy(values))
    return made


def risk_curve(
    confidence: np.ndarray, right: np.ndarray, known: np.ndarray, weight: np.ndarray, points: int = POINTS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds (falling), the share of wrong answers at or above each, and the share of the known that is answered.

    One wrong answer more than was seen is counted, so that few answers promise little.

    Args:
        confidence: (N,).
        right, known: (N,) bool.
        weight: (N,) how often such a clip will be met.
        points: B.
    """
    order = np.argsort(-confidence, kind="stable")
    c, w, ok, k = confidence[order], weight[order], right[order], known[order]
    one = w.mean()
    risk = (np.cumsum(w * ~ok) + one) / (np.cumsum(w) + one)
    last = np.append(np.flatnonzero(np.diff(c)), len(c) - 1)  # equal confidences are answered together
    c, risk = c[last], risk[last]
    coverage = np.cumsum(k)[last] / max(k.sum(), 1)
    chosen = np.unique(np.linspace(0, len(c) - 1, points).round().astype(int))
    chosen = np.concatenate([chosen, np.full(points - len(chosen), len(c) - 1)])
    return c[chosen], risk[chosen], coverage[chosen]
