use loopwheel::{gather, run};

fn main() {
    run(async {
        gather([1, 2, 3]).await;
    });
}
