use catena_core::corefile::Scheme;
use catena_core::plugin::Bounds;
use catena_core::plugin::testing::set_up;

#[test]
fn bounds_are_those_of_the_block() {
    for (text, want) in [
        ("quic", Bounds::default()),
        ("quic {\n}", Bounds::default()),
        (
            "quic {\n max_streams 5\n}",
            Bounds {
                streams: Some(5),
                ..Bounds::default()
            },
        ),
        (
            "quic {\n worker_pool_size 5\n}",
            Bounds {
                all_streams: Some(5),
                ..Bounds::default()
            },
        ),
    ] {
        let block = set_up(&[crate::PLUGIN], text).unwrap();
        assert_eq!(*block.settings.bounds.of(Scheme::Quic), want, "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, want) in [
        ("quic 5", "Corefile:1:6: plugin/quic: "),
        (
            "quic {\n max_streams -1\n}",
            "Corefile:2:14: plugin/quic: got `-1`, expected a number from 1 to 4294967295",
        ),
        (
            "quic {\n max_streams many\n}",
            "Corefile:2:14: plugin/quic: got `many`, expected a number from 1 to 4294967295",
        ),
        (
            "quic {\n max_streams\n}",
            "Corefile:2:2: plugin/quic: wrong argument count",
        ),
        (
            "quic {\n max_streams 1 2\n}",
            "Corefile:2:16: plugin/quic: wrong argument count",
        ),
        (
            "quic {\n max_streams 1\n max_streams 2\n}",
            "Corefile:3:2: plugin/quic: max_streams already defined for this server block",
        ),
        (
            "quic {\n max_stream 1\n}",
            "Corefile:2:2: plugin/quic: unknown option `max_stream`",
        ),
        (
            "quic\nquic",
            "Corefile:2:1: plugin/quic: this plugin can only be used once per Server Block",
        ),
    ] {
        let errors = set_up(&[crate::PLUGIN], text).unwrap_err();
        let headline = errors.as_slice()[0].headline();
        assert!(headline.starts_with(want), "{text}: {headline}");
    }
}
