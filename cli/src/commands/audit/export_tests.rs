use std::fs;

use tonic::Status;
use wfe_proto::v1::ExportLogResponse;

use crate::{
    Exit,
    testing::{
        service::{Service, serve},
        shell::Shell,
    },
};

fn piece(text: &str) -> ExportLogResponse {
    ExportLogResponse { chunk: text.as_bytes().to_vec() }
}

#[tokio::test]
async fn the_pieces_of_an_export_are_one_file() {
    let server = serve(Service::default().export_log(|request| {
        assert_eq!(request.after, 7);
        Ok(vec![Ok(piece("one\ntw")), Ok(piece("o\n"))])
    }))
    .await;
    let shell = Shell::at(&server.address());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("export.ndjson");
    fs::write(&file, "an older one").unwrap();
    let exit = shell.run(&format!("audit export {} --after 7", file.display())).await;
    assert_eq!(exit, Exit::Ok, "{}", shell.stderr());
    assert_eq!(fs::read_to_string(&file).unwrap(), "one\ntwo\n");
    assert_eq!(shell.stdout(), "");

    assert_eq!(shell.run("audit export - --after 7").await, Exit::Ok);
    assert_eq!(shell.stdout(), "one\ntwo\n");
}

#[tokio::test]
async fn an_export_that_breaks_off_leaves_no_file() {
    let server = serve(Service::default().export_log(|_| {
        Ok(vec![Ok(piece("one\n")), Err(Status::data_loss("entry 3 is missing"))])
    }))
    .await;
    let shell = Shell::at(&server.address());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("export.ndjson");
    let exit = shell.run(&format!("audit export {}", file.display())).await;
    assert_eq!(exit, Exit::Unavailable);
    assert!(shell.stderr().contains("entry 3 is missing"), "{}", shell.stderr());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
