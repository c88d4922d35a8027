import pytest

from utils.training.pretraining import teaching_curve

TABLE = """encoder,photos,CIDEr,BLEU-4
student,600000,0.36,0.16
scenes alone,0,0.18,0.10
its teacher,,0.42,0.18
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text(TABLE, encoding="utf-8-sig")  # as spreadsheets write it
    return path


def test_the_curve_goes_by_photos_and_what_was_shown_none_is_a_line(table):
    curve, line = teaching_curve.figure(teaching_curve.read_table(table)).axes[0].lines
    assert curve.get_xydata().tolist() == [[0, 0.18], [600000, 0.36]]
    assert list(line.get_ydata()) == [0.42, 0.42]


def test_hours_stand_above_the_photos_they_take(table):
    below, above = teaching_curve.figure(teaching_curve.read_table(table), photos_per_hour=60000).axes
    ticks = dict(zip((label.get_text() for label in above.get_xticklabels()), above.get_xticks()))
    assert ticks["8"] == 480000 and "24" not in ticks
    assert above.get_xlim() == below.get_xlim()
    assert above.transData.transform((480000, 0))[0] == pytest.approx(below.transData.transform((480000, 0))[0])


def test_a_picture_is_drawn(command, fails, table, tmp_path):
    status, output, _ = command(teaching_curve, table, tmp_path / "curve.png", "--photos_per_hour", "50000")
    assert status == 0 and "curve.png" in output
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert "exists" in fails(teaching_curve, table, tmp_path / "curve.png")


@pytest.mark.parametrize(
    "text, message",
    [
        ("encoder,CIDEr\na,0.2\n", "line 2: encoder, photos or none, CIDEr are needed"),
        ("encoder,photos,CIDEr\na,1,0.2\nb,many,0.2\n", "line 3"),
        ("encoder,photos,CIDEr\na,1,nan\n", "must be numbers from 0"),
        ("encoder,photos,CIDEr\na,,0.2\n", "there is no curve"),
    ],
)
def test_a_table_that_is_none_is_told_in_a_line(fails, table, tmp_path, text, message):
    table.write_text(text)
    assert message in fails(teaching_curve, table, tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_what_is_wrong_with_the_names_is_told_in_a_line(fails, table, tmp_path):
    assert "cannot be read" in fails(teaching_curve, tmp_path / "none.csv", tmp_path / "curve.png")
    assert "no format of pictures" in fails(teaching_curve, table, tmp_path / "curve.nonsense")
