// tiny-dnn: its own check of gradients, and a network that learns.
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <tiny_dnn/tiny_dnn.h>

using namespace tiny_dnn;
using namespace tiny_dnn::activation;

int main()
{
    set_random_seed(1);
    network<sequential> checked;
    checked << convolutional_layer<tan_h>(6, 6, 3, 1, 2) << fully_connected_layer<sigmoid>(32, 3);
    checked.init_weight();
    vec_t in(36);
    for (size_t i = 0; i < in.size(); i++)
        in[i] = float_t(i % 7) / 7 - float_t(0.4);
    std::vector<tensor_t> samples{{in}};
    std::vector<std::vector<label_t>> labels{{1}};
    std::cout << "gradients " << checked.gradient_check<mse>(samples, labels, 1e-2, GRAD_CHECK_RANDOM) << std::endl;

    network<sequential> net;
    net << fully_connected_layer<tan_h>(2, 8) << fully_connected_layer<sigmoid>(8, 1);
    std::vector<vec_t> x{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, y{{0}, {1}, {1}, {0}};
    adam learn;
    learn.alpha = float_t(0.05);
    int epochs = 0;
    net.fit<mse>(learn, x, y, 4, 400, [] {}, [&] { epochs++; });
    std::cout << "epochs " << epochs << std::endl;
    for (size_t i = 0; i < 4; i++)
        std::cout << (net.predict(x[i])[0] > 0.5 ? 1 : 0) << (std::abs(net.predict(x[i])[0] - y[i][0]) < 0.2 ? " sure " : " unsure ");
    std::cout << std::endl;
    net.save("check.net");
    network<sequential> again;
    again.load("check.net");
    bool same = true;
    for (const auto& v : x)
        same &= std::abs(net.predict(v)[0] - again.predict(v)[0]) < 1e-5;
    std::cout << "saved and loaded " << same << ' ' << again.layer_size() << std::endl;
    std::remove("check.net");
}
