use loopwheel::{finally, run_virtual};

async fn close() {}

fn main() {
    run_virtual(async {
        let text = String::from("closed");
        finally(async {}, async || drop(text.clone())).await;
        finally(async {}, async { drop(text) }).await;
        finally(async {}, close).await;
        finally(async {}, close()).await;
    });
}
