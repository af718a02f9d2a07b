//! A guess is a mapping that can be read, and gives what the mapping written by hand gives.

use super::*;

#[test]
fn a_guess_reads_the_file_that_it_was_made_from() {
    for (file, count) in [
        ("Test Data VDM.csv", 107),
        ("Test Data PMU.csv", 107),
        ("Test Data HL.csv", 139),
        ("steps-per-row.csv", 2),
        ("header-and-table.csv", 1),
        ("XMLReport.xml", 1),
        ("custom.json", 2),
    ] {
        let bytes = data(&format!("mapping/{file}"));
        let text = guess(&bytes, file);
        let guessed =
            Mapping::parse(&text).unwrap_or_else(|faults| panic!("{file}\n{text}\n{}", waybill_shared::schema::list(&faults)));
        let own = if file.starts_with("Test Data") { "Test Data VDM.csv" } else { file };
        let by_hand = convert(&delivered(own), file, &bytes, &json!({})).all();
        let converted = convert(&guessed, file, &bytes, &json!({}));
        // A word or a comparator that only a person knows may be missing; what is there is the same.
        if file == "steps-per-row.csv" {
            assert_eq!(converted.errors.len(), 2, "{text}");
            continue;
        }
        let reports = converted.all();
        assert_eq!((reports.len(), by_hand.len()), (count, count), "{file}\n{text}");
        for (guessed, by_hand) in reports.iter().zip(&by_hand) {
            assert_eq!(
                (&guessed.sn, &guessed.start, guessed.result),
                (&by_hand.sn, &by_hand.start, by_hand.result),
                "{file}\n{text}"
            );
            assert_eq!(guessed.measurement_count(), by_hand.measurement_count(), "{file}\n{text}");
        }
        assert!(text.lines().any(|line| line.starts_with("# ")), "{text}");
    }
}

#[test]
fn a_guess_of_anything_is_a_text_and_no_panic() {
    for bytes in
        [&b""[..], b"\n\n", b"{", b"<a", b"[1,2]", b"{}", b"<a/>", b"hello", b"\xff\xfe\x00", b"a b c\n1 2 3\n", b"sep=;\n"]
    {
        let text = guess(bytes, "x\n\"y.csv");
        assert!(text.starts_with("# Made from") && text.parse::<toml_edit::DocumentMut>().is_ok(), "{text}");
    }
}
