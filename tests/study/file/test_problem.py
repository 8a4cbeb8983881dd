from netcaliper.errors import StudyError
from netcaliper.study.file.problem import Problem


def test_a_problem_is_a_study_error_with_a_place():
    problem = Problem(["families", 0], "words")
    assert isinstance(problem, StudyError)
    assert problem.place == ("families", 0)
    assert str(problem) == "words"
