"""Terms by name: a device with a radio, prices, and what they then know."""

import pytest

from partitioner.devices.device import load_device, load_radio
from partitioner.planning.terms import NO_TERMS, Prices, Terms
from protos.errors import UsageError


def test_device_comes_with_its_own_radio_unless_another_is_named() -> None:
    phone = load_device("phone").with_threads(1)
    found = Terms.named("phone", fps=2.0, workers=3, sustained=True)
    assert found == Terms(phone, load_radio(str(phone.radio)), 2.0, 3, None, sustained=True)
    assert found.knows_energy
    assert Terms.named("phone", "wifi").radio == load_radio("wifi")
    assert load_radio("wifi") != load_radio(str(phone.radio))
    assert Terms.named("phone", threads=4).device == phone.model_copy(
        update={"threads": 4, "compute_w": 5.0}
    )


def test_either_price_is_enough_and_without_one_nothing_is_billed() -> None:
    assert Terms.named(price_worker_hour=0.5).prices == Prices(worker_hour=0.5)
    assert Terms.named(price_gb=0.09).prices == Prices(gb=0.09)
    assert Terms.named(price_worker_hour=0.5, price_gb=0.0).prices == Prices(0.5, 0.0)
    assert Terms.named() == NO_TERMS
    assert not NO_TERMS.knows_energy


@pytest.mark.parametrize("price", [-0.01, float("inf"), float("nan")])
def test_price_that_is_none_is_refused_by_its_name(price: float) -> None:
    with pytest.raises(UsageError, match=r"`price_worker_hour` \S+ is no price. Give 0 or more"):
        Prices(worker_hour=price)
    with pytest.raises(UsageError, match="`price_gb` .* is no price"):
        Prices(gb=price)
