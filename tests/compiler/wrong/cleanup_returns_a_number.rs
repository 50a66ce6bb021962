use loopwheel::{finally, run};

fn main() {
    run(async {
        finally(async {}, async || 5).await;
    });
}
