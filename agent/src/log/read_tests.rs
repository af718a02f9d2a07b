use super::super::files::Files;
use super::*;
use waybill_ipc::protocol::LogLevelName;

fn written(numbers: std::ops::Range<u64>, max_bytes: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::open(folder.path(), max_bytes, 100).unwrap();
    for n in numbers {
        let level = if n % 10 == 0 { "ERROR" } else { "INFO" };
        let line = format!("{{\"level\":\"{level}\",\"message\":\"{n}\",\"correlation_id\":\"id-{}\"}}\n", n % 7);
        files.append(line.as_bytes()).unwrap();
    }
    folder
}

fn numbers(lines: &[LogLine]) -> Vec<u64> {
    lines.iter().map(|line| line.message.parse().unwrap()).collect()
}

#[test]
fn the_newest_lines_come_in_order_from_all_files() {
    // Several files, and files of several blocks.
    for max_bytes in [300, 200_000] {
        let folder = written(0..5000, max_bytes.max(4000));
        let get = |limit| numbers(&tail(folder.path(), &LogFilter::default(), limit).unwrap());
        assert_eq!(get(3), [4997, 4998, 4999]);
        assert_eq!(get(10_000), (0..5000).collect::<Vec<_>>());
    }
}

#[test]
fn a_filter_looks_through_all_files() {
    let folder = written(0..3000, 4000);
    let get = |filter| numbers(&tail(folder.path(), &filter, 10_000).unwrap());
    let errors = get(LogFilter { level: Some(LogLevelName::Error), ..LogFilter::default() });
    assert_eq!(errors, (0..3000).step_by(10).collect::<Vec<_>>());
    let life = get(LogFilter { correlation_id: Some("id-3".to_owned()), ..LogFilter::default() });
    assert_eq!(life, (3..3000).step_by(7).collect::<Vec<_>>());
}

#[test]
fn pages_join_without_a_gap_also_when_files_are_rotated_between_them() {
    let folder = written(0..1000, 4000);
    let mut files = Files::open(folder.path(), 4000, 100).unwrap();
    let (mut all, mut before, mut more) = (Vec::new(), None, 1000);
    loop {
        let found = page(folder.path(), &LogFilter::default(), before, 90, u64::MAX).unwrap();
        all.splice(0..0, numbers(&found.lines));
        before = found.next;
        if before.is_none() {
            break;
        }
        for _ in 0..60 {
            files
                .append(format!("{{\"level\":\"INFO\",\"message\":\"{more}\",\"reason\":\"while pages are read\"}}\n").as_bytes())
                .unwrap();
            more += 1;
        }
    }
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_search_for_what_is_not_there_stops_at_its_budget_and_goes_on_from_there() {
    let folder = written(0..3000, 4000);
    let filter = LogFilter { text: Some("no such text".to_owned()), ..LogFilter::default() };
    let (mut before, mut pages) = (None, 0);
    loop {
        let found = page(folder.path(), &filter, before, 10, 20_000).unwrap();
        assert!(found.lines.is_empty());
        before = found.next;
        pages += 1;
        if before.is_none() {
            break;
        }
        assert!(pages < 100, "it makes no way");
    }
    assert!(pages > 5, "{pages}");
}

#[test]
fn the_torn_end_of_a_power_cut_and_a_line_without_end_are_shown_and_bounded() {
    let folder = written(0..3, 4000);
    let mut files = Files::open(folder.path(), 1 << 30, 5).unwrap();
    files.append(&[vec![b'x'; 3 * MAX_LINE], vec![b'\n']].concat()).unwrap();
    files.append(b"{\"level\":\"INFO\",\"mess").unwrap();
    let lines = tail(folder.path(), &LogFilter::default(), 10).unwrap();
    assert_eq!(numbers(&lines[..3]), [0, 1, 2]);
    assert!(lines[3].message.len() <= MAX_LINE + BLOCK && lines[3].message.len() >= MAX_LINE);
    assert_eq!((lines[4].level, lines[4].message.as_str()), (None, "{\"level\":\"INFO\",\"mess"));
    assert_eq!(lines.len(), 5);
}

#[test]
fn no_log_is_told_and_an_empty_one_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let missing = tail(folder.path(), &LogFilter::default(), 5).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert_eq!(tail(&folder.path().join("x"), &LogFilter::default(), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    drop(Files::open(folder.path(), 1000, 5).unwrap());
    assert!(tail(folder.path(), &LogFilter::default(), 5).unwrap().is_empty());
}
