"""The papers' searcher: a recurrent controller that learns by reinforcement (Mnas section 4.3; NASNet's controller).

An LSTM names one value for each dimension of the space in turn, each drawn from a softmax and fed back. After every
`batch` finished candidates the controller takes PPO steps (arXiv 1707.06347) on their rewards, against the moving
average of the rewards before. It is a function of the seed and the history alone: every worker replays what the
others found, in the order of the candidates' numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor, nn

from effnet.search.searchers import Proposal, Tried
from effnet.search.space import Choices, SearchSpace, Value

_CLIP = 0.2
_EPOCHS = 4
_ENTROPY = 0.005
_BASELINE = 0.9


class Controller:
    """A searcher that learns.

    Args:
        seed: of its first weights.
        batch: finished candidates between updates.
        hidden: units of the LSTM.
        rate: learning rate.
    """

    def __init__(self, *, seed: int = 0, batch: int = 8, hidden: int = 64, rate: float = 0.01) -> None:
        self._seed, self._batch, self._hidden, self._rate = seed, batch, hidden, rate
        self._space: SearchSpace | None = None
        self._learned: list[int] = []

    def propose(self, space: SearchSpace, history: Sequence[Tried], rng: Random) -> Proposal:
        """Learn what is new in the history, then draw a candidate."""
        finished = sorted((tried for tried in history if tried.reward is not None), key=lambda tried: tried.number)
        batches = [finished[i : i + self._batch] for i in range(0, len(finished), self._batch)]
        whole = [batch for batch in batches if len(batch) == self._batch]
        numbers = [tried.number for batch in whole for tried in batch]
        # Another space, or a candidate that finished out of turn: from the beginning, so that all workers agree.
        if space != self._space or self._learned != numbers[: len(self._learned)]:
            self._begin(space)
        for batch in whole[len(self._learned) // self._batch :]:
            self._learn(batch)
            self._learned += [tried.number for tried in batch]
        return Proposal(choices=self._draw(rng))

    def _begin(self, space: SearchSpace) -> None:
        self._space = space
        self._dimensions = space.dimensions
        self._learned, self._baseline = [], None
        most = max(len(values) for values in self._dimensions.values())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._cell = nn.LSTMCell(self._hidden, self._hidden)
            self._embed = nn.Embedding(most + 1, self._hidden)  # the last is the beginning of the sentence
            self._heads = [nn.Linear(self._hidden, len(values)) for values in self._dimensions.values()]
            for head in self._heads:
                nn.init.normal_(head.weight, std=0.01)  # nearly even at first
                nn.init.zeros_(head.bias)
        parts = [self._cell, self._embed, *self._heads]
        self._weights = [weight for part in parts for weight in part.parameters()]
        self._optimizer = torch.optim.Adam(self._weights, lr=self._rate)

    _baseline: float | None

    @torch.no_grad()
    def _draw(self, rng: Random) -> dict[str, Value]:
        state = self._start(1)
        token = torch.tensor([self._embed.num_embeddings - 1])
        choices: dict[str, Value] = {}
        for head, (name, values) in zip(self._heads, self._dimensions.items(), strict=True):
            state = self._cell(self._embed(token), state)
            chances = head(state[0]).double().softmax(1)[0].tolist()
            place = rng.choices(range(len(values)), chances)[0]
            choices[name] = values[place]
            token = torch.tensor([place])
        return choices

    def _learn(self, batch: Sequence[Tried]) -> None:
        rewards = torch.tensor([tried.reward for tried in batch], dtype=torch.float32)
        mean = float(rewards.mean())
        before = mean if self._baseline is None else self._baseline
        self._baseline = _BASELINE * before + (1 - _BASELINE) * mean
        scale = float(rewards.std()) or 1.0
        advantage = (rewards - before) / (scale if math.isfinite(scale) else 1.0)
        tokens = torch.tensor([self._tokens(tried.choices) for tried in batch])  # (N, dimensions)
        with torch.no_grad():
            old, _ = self._likelihood(tokens)
        for _ in range(_EPOCHS):
            new, entropy = self._likelihood(tokens)
            ratio = (new - old).exp()  # (N, dimensions)
            gain = advantage[:, None]
            clipped = torch.minimum(ratio * gain, ratio.clamp(1 - _CLIP, 1 + _CLIP) * gain)
            self._optimizer.zero_grad()
            torch.autograd.backward(-clipped.mean() - _ENTROPY * entropy)
            nn.utils.clip_grad_norm_(self._weights, 1.0)
            self._optimizer.step()

    def _likelihood(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of the tokens (N, dimensions), and the mean entropy of the choices."""
        state = self._start(len(tokens))
        token = torch.full((len(tokens),), self._embed.num_embeddings - 1)
        logs, entropies = [], []
        for place, head in enumerate(self._heads):
            state = self._cell(self._embed(token), state)
            chances = head(state[0]).log_softmax(1)
            token = tokens[:, place]
            logs.append(chances.gather(1, token[:, None])[:, 0])
            entropies.append(-(chances.exp() * chances).sum(1).mean())
        return torch.stack(logs, 1), torch.stack(entropies).mean()

    def _tokens(self, choices: Choices) -> list[int]:
        return [values.index(choices[name]) for name, values in self._dimensions.items()]

    def _start(self, count: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(count, self._hidden), torch.zeros(count, self._hidden)
