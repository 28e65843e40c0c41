"""Returns as distributions over atoms (Bellemare et al. 2017, arXiv 1707.06887)."""

import numpy as np


class CategoricalQ:
    """``n_atoms`` possible returns, evenly from ``v_min`` to ``v_max``."""

    def __init__(self, n_atoms: int, v_min: float, v_max: float) -> None:
        self.n_atoms = n_atoms
        self.v_min = v_min
        self.v_max = v_max
        self.delta_z = (v_max - v_min) / (n_atoms - 1)

    def distr_projection(
        self, next_distr: np.ndarray, rewards: np.ndarray, dones: np.ndarray, gamma: float
    ) -> np.ndarray:
        """(M, n_atoms) float32: the distribution of ``r + gamma Z``, each return shared by the two atoms next to it.

        Args:
            next_distr: (M, n_atoms) probabilities of Z.
            rewards: (M,).
            dones: (M,) bool; there, Z is 0.
            gamma: discount.
        """
        atoms = np.linspace(self.v_min, self.v_max, self.n_atoms)
        returns = rewards[:, None] + gamma * ~dones[:, None] * atoms
        places = (returns.clip(self.v_min, self.v_max) - self.v_min) / self.delta_z
        lower = np.floor(places).astype(np.int64)
        upper = np.minimum(lower + 1, self.n_atoms - 1)
        rows = np.arange(len(rewards))[:, None]
        projected = np.zeros(next_distr.shape, dtype=np.float32)
        np.add.at(projected, (rows, lower), next_distr * (1.0 - (places - lower)))
        np.add.at(projected, (rows, upper), next_distr * (places - lower))
        return projected
