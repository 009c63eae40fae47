use catena_core::corefile::Scheme;
use catena_core::plugin::Bounds;
use catena_core::plugin::testing::set_up;

#[test]
fn bounds_are_those_of_the_block() {
    for (text, want) in [
        ("https", Bounds::default()),
        ("https {\n}", Bounds::default()),
        (
            "https {\n max_connections 5\n}",
            Bounds {
                connections: Some(5),
                ..Bounds::default()
            },
        ),
        (
            "https {\n max_connections 0\n}",
            Bounds {
                connections: Some(usize::MAX),
                ..Bounds::default()
            },
        ),
    ] {
        let block = set_up(&[crate::PLUGIN], text).unwrap();
        assert_eq!(*block.settings.bounds.of(Scheme::Https), want, "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, want) in [
        ("https 5", "Corefile:1:7: plugin/https: "),
        (
            "https {\n max_connections -1\n}",
            "Corefile:2:18: plugin/https: got `-1`, expected a number from 0 to 4294967295",
        ),
        (
            "https {\n max_connections many\n}",
            "Corefile:2:18: plugin/https: got `many`, expected a number from 0 to 4294967295",
        ),
        (
            "https {\n max_connections\n}",
            "Corefile:2:2: plugin/https: wrong argument count",
        ),
        (
            "https {\n max_connections 1 2\n}",
            "Corefile:2:20: plugin/https: wrong argument count",
        ),
        (
            "https {\n max_connections 1\n max_connections 2\n}",
            "Corefile:3:2: plugin/https: max_connections already defined for this server block",
        ),
        (
            "https {\n max_connection 1\n}",
            "Corefile:2:2: plugin/https: unknown option `max_connection`",
        ),
        (
            "https\nhttps",
            "Corefile:2:1: plugin/https: this plugin can only be used once per Server Block",
        ),
    ] {
        let errors = set_up(&[crate::PLUGIN], text).unwrap_err();
        let headline = errors.as_slice()[0].headline();
        assert!(headline.starts_with(want), "{text}: {headline}");
    }
}
