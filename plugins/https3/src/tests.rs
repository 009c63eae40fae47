use catena_core::corefile::Scheme;
use catena_core::plugin::Bounds;
use catena_core::plugin::testing::set_up;

#[test]
fn bounds_are_those_of_the_block() {
    for (text, want) in [
        ("https3", Bounds::default()),
        ("https3 {\n}", Bounds::default()),
        (
            "https3 {\n max_streams 5\n}",
            Bounds {
                streams: Some(5),
                ..Bounds::default()
            },
        ),
        ("https3 {\n max_streams 0\n}", Bounds::default()),
        (
            "https3 {\n max_connections 5\n}",
            Bounds {
                connections: Some(5),
                ..Bounds::default()
            },
        ),
        (
            "https3 {\n max_connections 0\n}",
            Bounds {
                connections: Some(usize::MAX),
                ..Bounds::default()
            },
        ),
    ] {
        let block = set_up(&[crate::PLUGIN], text).unwrap();
        assert_eq!(*block.settings.bounds.of(Scheme::Https3), want, "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, want) in [
        ("https3 5", "Corefile:1:8: plugin/https3: "),
        (
            "https3 {\n max_streams -1\n}",
            "Corefile:2:14: plugin/https3: got `-1`, expected a number from 0 to 4294967295",
        ),
        (
            "https3 {\n max_streams many\n}",
            "Corefile:2:14: plugin/https3: got `many`, expected a number from 0 to 4294967295",
        ),
        (
            "https3 {\n max_streams\n}",
            "Corefile:2:2: plugin/https3: wrong argument count",
        ),
        (
            "https3 {\n max_streams 1 2\n}",
            "Corefile:2:16: plugin/https3: wrong argument count",
        ),
        (
            "https3 {\n max_streams 1\n max_streams 2\n}",
            "Corefile:3:2: plugin/https3: max_streams already defined for this server block",
        ),
        (
            "https3 {\n max_stream 1\n}",
            "Corefile:2:2: plugin/https3: unknown option `max_stream`",
        ),
        (
            "https3\nhttps3",
            "Corefile:2:1: plugin/https3: this plugin can only be used once per Server Block",
        ),
    ] {
        let errors = set_up(&[crate::PLUGIN], text).unwrap_err();
        let headline = errors.as_slice()[0].headline();
        assert!(headline.starts_with(want), "{text}: {headline}");
    }
}
