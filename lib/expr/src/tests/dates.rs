//! Dates, durations and time zones.

use super::{all_hold, none_holds, refused};

#[test]
fn dates_are_read_and_asked() {
    all_hold(&[
        "date('2023-08-14').Year() == 2023 && date('2023-08-14').Day() == 14 && date('2023-08-14').YearDay() == 226",
        "date('15:04:05').Hour() == 15 && date('15:04:05').Minute() == 4 && date('15:04:05').Year() == 0",
        "date('2023-08-14 01:02:03').Second() == 3 && date('2023-08-14 01:02:03.5').Nanosecond() == 500000000",
        "date('2023-08-14T00:00:00Z').Unix() == 1691971200 && date('2023-08-14T02:00:00+02:00').Unix() == 1691971200",
        "date('14 Aug 23 00:00 UTC') == date('2023-08-14')",
        "date('Monday, 14-Aug-23 00:00:00 UTC') == date('2023-08-14')",
        "date('Mon, 14 Aug 2023 00:00:00 GMT') == date('2023-08-14')",
        "date('14/8/2023', '2/1/2006') == date('2023-08-14')",
        "date('2023-08-14 00:00:00', '2006-01-02 15:04:05', 'Europe/Zurich').Unix() == 1691964000",
        "date(timezone('Europe/Zurich'), '2023-08-14').Unix() == 1691964000",
        "date('2023-08-14 00:00:00').In(timezone('Europe/Zurich')).Hour() == 2",
        "date('2023-08-14').Weekday().String() == 'Monday' && int(date('2023-08-14').Weekday()) == 1",
        "date('2023-08-14').Month().String() == 'August' && int(date('2023-08-14').Month()) == 8",
        "string(date('2023-08-14')) == '2023-08-14 00:00:00 +0000 UTC'",
        "timezone('UTC').String() == 'UTC' && timezone('Europe/Zurich').String() == 'Europe/Zurich'",
        "date('2023-08-14').UnixMilli() == 1691971200000 && date('0001-01-01').IsZero()",
        "date(timezone('Europe/Zurich'), '2023-08-14').IsDST() && !date('2023-08-14').IsDST()",
        "{d: date('2023-08-14')}.d.Year() == 2023",
    ]);
    none_holds(&[
        "date('nonsense').Year() == 2023",
        "date('2023-02-30').Year() == 2023",
        "date('2023-08-14', 'nonsense').Year() == 2023",
        "timezone('Nowhere/Land').String() == ''",
        "date('9999-12-31').Add(duration('99999h')).Year() > 0",
    ]);
    refused(&[
        (
            "date(1) == now()",
            "`date` cannot take int as its argument 1 (at 6)",
        ),
        ("now().Weekday() == 1", "mismatched types weekday and int (at 17)"),
        ("now().Hours() == 1", "date has no method `Hours` (at 7)"),
        ("now().Hour(1) == 1", "too many arguments to call `Hour` (at 7)"),
        (
            "now().Add(1) == now()",
            "`Add` cannot take int as its argument 1 (at 11)",
        ),
        (
            "now('UTC') == now()",
            "`now` cannot take string as its argument 1 (at 5)",
        ),
        ("now().Hour == 1", "date has no field `Hour` (at 7)"),
        ("now() > 1", "mismatched types date and int (at 7)"),
        ("duration('1h') > 1", "mismatched types duration and int (at 16)"),
        ("now() + now() == now()", "mismatched types date and date (at 7)"),
        (
            "timezone(1) == timezone('UTC')",
            "`timezone` cannot take int as its argument 1 (at 10)",
        ),
    ]);
}

#[test]
fn dates_and_durations_are_counted_with() {
    all_hold(&[
        "date('2023-08-15') - date('2023-08-14') == duration('24h')",
        "date('2023-08-14') + duration('1h') == date('2023-08-14 01:00:00')",
        "duration('1h') + date('2023-08-14') == date('2023-08-14') - duration('-1h')",
        "date('2023-08-14') < date('2023-08-15') && date('2023-08-14') >= date('2023-08-14')",
        "duration('1h') + duration('30m') == duration('90m') && duration('1h') - duration('1h') == duration('0')",
        "duration('1m') * 2 == duration('2m') && 1.5 * duration('1m') == duration('90s')",
        "duration('1h') > duration('59m') && -1 * duration('1s') < duration('0s')",
        "duration('1h30m').Hours() == 1.5 && duration('1.5m').Seconds() == 90 && duration('1h').Minutes() == 60",
        "duration('1s').Milliseconds() == 1000 && duration('2us').Nanoseconds() == 2000",
        "duration('1h').String() == '1h0m0s' && string(duration('1.5s')) == '1.5s' && string(duration('2500us')) == '2.5ms'",
        "string(duration('-90m')) == '-1h30m0s' && string(duration('0')) == '0s' && string(duration('7ns')) == '7ns'",
        "duration('1m31s').Round(duration('1m')) == duration('2m') && duration('1m31s').Truncate(duration('1m')) == duration('1m')",
        "duration('-1s').Abs() == duration('1s')",
        "date('2023-01-31').AddDate(0, 1, 0) == date('2023-03-03') && date('2024-02-28').AddDate(-1, 0, 1) == date('2023-03-01')",
        "date('2023-08-14 13:45:00').Truncate(duration('1h')) == date('2023-08-14 13:00:00')",
        "date('2023-08-14 13:45:00').Round(duration('1h')) == date('2023-08-14 14:00:00')",
        "date('2023-08-14').Before(date('2023-08-15')) && date('2023-08-15').After(date('2023-08-14'))",
        "date('2023-08-14').Compare(date('2023-08-15')) == -1 && date('2023-08-14').Equal(date('2023-08-14'))",
        "date('2023-08-15').Sub(date('2023-08-14')).Hours() == 24",
        "sort([date('2023-08-15'), date('2023-08-14')])[0] == date('2023-08-14')",
        "sortBy(['2024-01-01', '2023-01-01'], date(#))[0] == '2023-01-01'",
    ]);
    none_holds(&[
        "duration('1') == duration('0')",
        "duration('1 h') == duration('1h')",
        "duration('.s') == duration('0')",
        "duration('9999999h') > duration('0')",
        "duration('') == duration('0')",
    ]);
}

#[test]
fn layouts_write_what_they_read() {
    for (layout, want) in [
        ("2006-01-02T15:04:05Z07:00", "2023-08-04T15:06:07+02:00"),
        ("Mon Jan _2 3:04PM 06", "Fri Aug  4 3:06PM 23"),
        ("Monday, 2 January 2006 15h", "Friday, 4 August 2023 15h"),
        ("02.1.2006 03 pm -0700", "04.8.2023 03 pm +0200"),
        ("002 __2 .000 .999", "216 216 .120 .12"),
        ("15:04:05.000000 MST", "15:06:07.120000 CEST"),
        (
            "-07 Z0700 -07:00:00 Monthly _2006",
            "+02 +0200 +02:00:00 Monthly _2023",
        ),
        ("\u{e9}4:5", "\u{e9}6:7"),
    ] {
        let date = "date('2023-08-04 15:06:07.12', '2006-01-02 15:04:05', 'Europe/Zurich')";
        all_hold(&[&format!("{date}.Format('{layout}') == '{want}'")]);
    }
    for (layout, text) in [
        ("2006-01-02T15:04:05Z07:00", "2023-08-04T15:06:00+02:00"),
        ("Mon Jan _2 3:04PM 2006 -0700", "Fri Aug  4 3:06PM 2023 +0200"),
        ("2006-002 15:04 -07", "2023-216 13:06 +00"),
        ("06-1-2 3:4:5.000pm Z07:00", "23-8-4 1:6:0.000pm Z"),
    ] {
        all_hold(&[&format!("date('{text}', '{layout}').Unix() == 1691154360")]);
    }
}

#[test]
fn the_clock_is_asked_with_each_query() {
    all_hold(&[
        "now() - now() <= duration('0s') && now().Year() >= 2024",
        "let n = now(); n == n && n - duration('1h') < n",
        "now(timezone('UTC')).Location().String() == 'UTC' && now().UTC().Unix() - now().Unix() <= 1",
        "now().Hour() in 0..23 && int(now().Weekday()) in 0..6 && now().Local() <= now()",
        "date(toJSON(now()) | trim('\"')) <= now()",
    ]);
    let expr = crate::Expr::parse("now().UnixNano() % 2 == 0").unwrap();
    let at = |_| expr.holds(&super::request(), &catena_facts::Surroundings::of("view"));
    let seen: Vec<bool> = (0..10_000).map(at).collect();
    assert!(seen.contains(&true) || seen.contains(&false));
}
