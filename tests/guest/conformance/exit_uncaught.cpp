// An exception that nobody catches ends the program, through the terminate handler.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>

int main()
{
    std::set_terminate([] {
        try {
            std::rethrow_exception(std::current_exception());
        } catch (const std::exception& e) {
            std::cout << "terminate: " << e.what() << std::endl;
        }
        std::abort();
    });
    std::cout << "throwing" << std::endl;
    throw std::logic_error("uncaught");
}
