from steno.errors import DrainingError, ModelLoadError, StenoError, UnsupportedFeatureError


def raised(error: StenoError) -> StenoError:
    try:
        raise error from OSError("the cause")
    except StenoError as caught:
        return caught


def test_a_fresh_error_is_equal_and_has_no_traceback_and_no_cause() -> None:
    for error in (
        UnsupportedFeatureError("no", param="prompt"),
        ModelLoadError("not yet", retry_after_s=7.0),
        DrainingError(),
    ):
        fresh = raised(error).fresh()
        assert type(fresh) is type(error)
        assert (str(fresh), vars(fresh)) == (str(error), vars(error))
        assert (fresh.__traceback__, fresh.__cause__, fresh.__context__) == (None, None, None)
