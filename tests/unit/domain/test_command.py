"""The command of an instance: the evidence of platform-semantics 1.3, case by case."""

import pytest

from hearth.domain.command import environment, expand, words
from hearth.domain.errors import Invalid


def variables(number: int = 3, total: int = 12, **constants: str) -> dict[str, str]:
    return environment(
        {key.replace("__DASH__", "-"): value for key, value in constants.items()},
        number=number,
        total=total,
        directory="/job",
        platform={"QARNOT_TASK_UUID": "u-1"},
    )


def command(text: str, **constants: str) -> tuple[str, ...]:
    return words(variables(DOCKER_CMD=text, **constants)["DOCKER_CMD"])


def test_1_braces_are_expanded_outside_the_container():
    assert command("echo hello world from ${INSTANCE_ID}!") == ("echo", "hello", "world", "from", "3!")


def test_2_constants_are_expanded_and_double_quotes_keep_one_argument():
    assert command("/bin/bash /opt/start-master.sh ${INSTANCE_COUNT} /opt/log.sh") == (
        "/bin/bash",
        "/opt/start-master.sh",
        "12",
        "/opt/log.sh",
    )
    assert command('/bin/bash /opt/wrapper.sh "${HASHCAT_CMD}"', HASHCAT_CMD="hashcat -m 0 a b") == (
        "/bin/bash",
        "/opt/wrapper.sh",
        "hashcat -m 0 a b",
    )


def test_3_names_without_braces_are_left_to_the_instances_shell():
    assert command('sh -c "echo $INSTANCE_ID"') == ("sh", "-c", "echo $INSTANCE_ID")
    assert command('sh -c "echo Hello world from $QRANK/$QSIZE!"') == (
        "sh",
        "-c",
        "echo Hello world from $QRANK/$QSIZE!",
    )


def test_4_a_whole_command_in_single_quotes_is_one_argument_with_its_references_expanded():
    assert command("'python3 a.py && h5repack u${INSTANCE_ID}.h5 v.h5'") == ("python3 a.py && h5repack u3.h5 v.h5",)


def test_5_many_blanks_and_a_command_substitution_reach_the_inner_shell_as_they_are():
    assert command('bash -c                 "export OMP_NUM_THREADS=$(nproc) && ccx -i f" ') == (
        "bash",
        "-c",
        "export OMP_NUM_THREADS=$(nproc) && ccx -i f",
    )


def test_6_double_quotes_inside_single_quotes_stay_and_the_key_between_them_is_expanded():
    text = """/bin/bash -c 'mkdir -p ~/.ssh /run/sshd ;echo "${DOCKER_SSH}" >> ~/.ssh/authorized_keys'"""
    assert command(text, DOCKER_SSH="ssh-ed25519 AAAA me@home") == (
        "/bin/bash",
        "-c",
        'mkdir -p ~/.ssh /run/sshd ;echo "ssh-ed25519 AAAA me@home" >> ~/.ssh/authorized_keys',
    )


def test_7_other_constants_hold_templates_too():
    given = variables(DOCKER_HOST="qarnot-A1B2C3-${INSTANCE_ID}", PYTHON_SCRIPT="Fibonacci.py 1,21,32 ${INSTANCE_ID}")
    assert given["DOCKER_HOST"] == "qarnot-A1B2C3-3"
    assert given["PYTHON_SCRIPT"] == "Fibonacci.py 1,21,32 3"


def test_8_filters_name_constants():
    assert expand(r"^${RUN}/out_${INSTANCE_ID}\.h5$", variables(RUN="a")) == r"^a/out_3\.h5$"


def test_what_is_not_known_is_left_as_it_is():
    text = "echo ${NOBODY} $INSTANCE_ID ${} ${A:-b} $(nproc) $$"
    assert expand(text, variables()) == text


def test_names_may_have_dots_and_dashes():
    assert expand("${a.b-c}", {"a.b-c": "x"}) == "x"


def test_a_value_is_expanded_once():
    assert command("echo ${A}", A="${B}", B="${A}") == ("echo", "${B}")


def test_every_name_of_the_instance_is_there():
    assert variables(4, 9) == {
        "QARNOT_TASK_UUID": "u-1",
        "INSTANCE_ID": "4",
        "FRAME_ID": "4",
        "QRANK": "4",
        "INSTANCE_COUNT": "9",
        "QSIZE": "9",
        "TASK_PATH": "/job",
        "DOCKER_WORKDIR": "/job",
        "QARNOT_RESOURCES_DIRECTORY": "/job",
        "QARNOT_RESULTS_DIRECTORY": "/job",
    }


def test_a_secret_counts_as_the_value_of_its_name():
    given = variables(QARNOT_SECRET__PASSWORD="s3cret", LOGIN="me:${PASSWORD}")
    assert (given["PASSWORD"], given["QARNOT_SECRET__PASSWORD"], given["LOGIN"]) == ("s3cret", "s3cret", "me:s3cret")


@pytest.mark.parametrize(("given", "seen"), [("", "/job"), ("${DOCKER_WORKDIR}", "/job"), ("/srv", "/srv")])
def test_an_empty_working_directory_is_the_platforms(given: str, seen: str):
    assert variables(DOCKER_WORKDIR=given)["DOCKER_WORKDIR"] == seen


def test_an_empty_command_has_no_words():
    assert words("  ") == ()


@pytest.mark.parametrize("text", ["echo 'a", 'echo "a', "echo a\\"])
def test_a_quotation_that_is_not_closed_is_refused_by_the_constants_name(text: str):
    with pytest.raises(Invalid, match=r"DOCKER_CMD: no .* in .*; close the quotation") as refusal:
        words(text)
    assert refusal.value.field == "DOCKER_CMD"
