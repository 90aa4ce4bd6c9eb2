"""Credentials: the token in a call's headers, the names in a certificate."""

import pytest

from cloud_server.security.credentials import Credentials, bearer_token, certificate_names
from protos.errors import UnauthenticatedError


def test_token_is_found_whatever_the_case_of_header_and_scheme() -> None:
    assert bearer_token([("accept", "x"), ("Authorization", "bearer abc ")]) == "abc"
    assert bearer_token([("authorization", b"Bearer abc")]) == "abc"
    assert bearer_token([("accept", "x")]) == ""


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Basic abc")],
        [("authorization", "")],
        [("authorization", "Bearer a"), ("authorization", "Bearer b")],
    ],
)
def test_other_schemes_and_two_tokens_are_refused_and_not_repeated(
    headers: list[tuple[str, str]],
) -> None:
    with pytest.raises(UnauthenticatedError, match="one `authorization: Bearer TOKEN`") as caught:
        bearer_token(headers)
    assert "abc" not in str(caught.value)


def test_names_of_a_certificate_are_its_common_and_alternative_ones() -> None:
    found = certificate_names(
        {
            "x509_common_name": [b"cam"],
            "x509_subject_alternative_name": [b"cam", b"cam.lan"],
            "transport_security_type": [b"ssl"],
        }
    )
    assert found == ("cam", "cam.lan")
    assert certificate_names({}) == ()


def test_token_is_not_shown() -> None:
    assert "abc" not in repr(Credentials("abc"))
