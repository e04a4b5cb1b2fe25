import numpy as np
import pytest

from models.serving.age_distribution import YEARS_OF_AGE

YEARS = np.arange(YEARS_OF_AGE)


def logits_around(*ages: float, spread_years: float = 2.0) -> np.ndarray:
    return (-0.5 * ((YEARS - np.array(ages)[:, None]) / spread_years) ** 2).astype("float32")


def loss_of(name: str, ages: list[int], logits: np.ndarray) -> list[float]:
    import keras

    from models.training.age_losses import LOSSES

    return keras.ops.convert_to_numpy(LOSSES[name](np.array(ages)[:, None], logits)).tolist()


@pytest.mark.parametrize("name", ["cross_entropy", "label_distribution", "mean_variance", "ordinal"])
def test_the_nearer_the_guess_the_smaller_the_loss(name: str) -> None:
    near, off, far = loss_of(name, [30, 30, 30], logits_around(30, 34, 50))
    assert near < off < far


def test_the_mean_error_is_that_of_the_expected_age() -> None:
    from models.training.age_losses import mae

    assert np.array(mae(np.array([[30], [30]]), logits_around(30, 34))).tolist() == pytest.approx([0, 4], abs=1e-3)


def test_cross_entropy_is_the_surprise_at_the_true_year() -> None:
    logits = logits_around(30)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert loss_of("cross_entropy", [31], logits) == pytest.approx([-np.log(probabilities[0, 31])], rel=1e-5)


def test_label_distribution_is_least_for_a_gaussian_of_two_years() -> None:
    losses = [loss_of("label_distribution", [30], logits_around(30, spread_years=spread))[0] for spread in (1, 2, 4)]
    assert losses[1] == min(losses)


def test_taught_is_label_distribution_where_teacher_and_label_agree_and_the_embedding_is_met() -> None:
    import keras

    from models.training.age_losses import taught

    logits, embedding = logits_around(33), np.array([[0.5, -0.5]], "float32")
    label = np.exp(logits_around(30)) / np.exp(logits_around(30)).sum()
    targets = np.hstack([[[30.0]], label, embedding]).astype("float32")

    def loss(said: np.ndarray, teacher_share: float = 0.5) -> float:
        outputs = np.hstack([logits, said])
        return float(keras.ops.convert_to_numpy(taught(teacher_share, 2.0)(targets, outputs))[0])

    assert loss(embedding) == pytest.approx(loss_of("label_distribution", [30], logits)[0], rel=1e-5)
    assert loss(embedding + 1) - loss(embedding) == pytest.approx(2.0, rel=1e-5)
    targets[:, 1:102] = np.exp(logits) / np.exp(logits).sum()  # the teacher says 33
    assert loss(embedding, 1.0) < loss(embedding, 0.5) < loss(embedding, 0.0)


def test_the_variance_of_a_guess_costs() -> None:
    narrow, wide = (logits_around(30, spread_years=spread) for spread in (2.0, 6.0))
    more = loss_of("mean_variance", [30], wide)[0] - loss_of("cross_entropy", [30], wide)[0]
    less = loss_of("mean_variance", [30], narrow)[0] - loss_of("cross_entropy", [30], narrow)[0]
    assert more - less == pytest.approx(0.05 * (6**2 - 2**2), rel=0.01)


def test_ordinal_charges_a_sure_guess_by_its_distance_in_years() -> None:
    sure = np.full((2, YEARS_OF_AGE), -100.0, dtype="float32")
    sure[0, 33], sure[1, 40] = 100, 100
    near, far = np.array(loss_of("ordinal", [30, 30], sure)) - loss_of("cross_entropy", [30, 30], sure)
    assert (near, far) == pytest.approx((3, 10))
