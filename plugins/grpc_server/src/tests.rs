use catena_core::corefile::Scheme;
use catena_core::plugin::Bounds;
use catena_core::plugin::testing::set_up;

#[test]
fn bounds_are_those_of_the_block() {
    for (text, want) in [
        ("grpc_server", Bounds::default()),
        ("grpc_server {\n}", Bounds::default()),
        (
            "grpc_server {\n max_streams 5\n}",
            Bounds {
                streams: Some(5),
                ..Bounds::default()
            },
        ),
        (
            "grpc_server {\n max_streams 0\n}",
            Bounds {
                streams: Some(usize::MAX),
                ..Bounds::default()
            },
        ),
        (
            "grpc_server {\n max_connections 5\n}",
            Bounds {
                connections: Some(5),
                ..Bounds::default()
            },
        ),
        (
            "grpc_server {\n max_connections 0\n}",
            Bounds {
                connections: Some(usize::MAX),
                ..Bounds::default()
            },
        ),
    ] {
        let block = set_up(&[crate::PLUGIN], text).unwrap();
        assert_eq!(*block.settings.bounds.of(Scheme::Grpc), want, "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, want) in [
        ("grpc_server 5", "Corefile:1:13: plugin/grpc_server: "),
        (
            "grpc_server {\n max_streams -1\n}",
            "Corefile:2:14: plugin/grpc_server: got `-1`, expected a number from 0 to 4294967295",
        ),
        (
            "grpc_server {\n max_streams many\n}",
            "Corefile:2:14: plugin/grpc_server: got `many`, expected a number from 0 to 4294967295",
        ),
        (
            "grpc_server {\n max_streams\n}",
            "Corefile:2:2: plugin/grpc_server: wrong argument count",
        ),
        (
            "grpc_server {\n max_streams 1 2\n}",
            "Corefile:2:16: plugin/grpc_server: wrong argument count",
        ),
        (
            "grpc_server {\n max_streams 1\n max_streams 2\n}",
            "Corefile:3:2: plugin/grpc_server: max_streams already defined for this server block",
        ),
        (
            "grpc_server {\n max_stream 1\n}",
            "Corefile:2:2: plugin/grpc_server: unknown option `max_stream`",
        ),
        (
            "grpc_server\ngrpc_server",
            "Corefile:2:1: plugin/grpc_server: this plugin can only be used once per Server Block",
        ),
    ] {
        let errors = set_up(&[crate::PLUGIN], text).unwrap_err();
        let headline = errors.as_slice()[0].headline();
        assert!(headline.starts_with(want), "{text}: {headline}");
    }
}
