// Eigen checks itself: every decomposition must give its matrix back.
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/Geometry>
#include <Eigen/LU>
#include <Eigen/QR>
#include <iostream>

using namespace Eigen;

static MatrixXd numbers(int rows, int columns, unsigned seed)
{
    MatrixXd m(rows, columns);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            m(i, j) = ((seed = seed * 1664525 + 1013904223) >> 8) % 2000 / 1000.0 - 1;
    return m;
}

static void check(const char* what, bool good) { std::cout << what << (good ? " good\n" : " WRONG\n"); }

int main()
{
    const int n = 40;
    MatrixXd a = numbers(n, n, 1), s = a + a.transpose(), p = a * a.transpose() + MatrixXd::Identity(n, n);
    VectorXd b = numbers(n, 1, 2);
    PartialPivLU<MatrixXd> lu(a);
    check("lu", (a * lu.solve(b)).isApprox(b, 1e-9) && std::abs(lu.determinant() * a.inverse().determinant() - 1) < 1e-6);
    HouseholderQR<MatrixXd> qr(a);
    MatrixXd q = qr.householderQ();
    check("qr", (q * q.transpose()).isIdentity(1e-10) && (a * qr.solve(b)).isApprox(b, 1e-9));
    LLT<MatrixXd> llt(p);
    check("cholesky", llt.reconstructedMatrix().isApprox(p, 1e-10));
    SelfAdjointEigenSolver<MatrixXd> e(s);
    check("eigen", MatrixXd(e.eigenvectors() * e.eigenvalues().asDiagonal() * e.eigenvectors().transpose()).isApprox(s, 1e-9));
    Matrix4f m = Matrix4f::Identity();
    m.topLeftCorner<3, 3>() = AngleAxisf(0.5f, Vector3f::UnitZ()).toRotationMatrix();
    check("rotation", (m * m.transpose()).isIdentity(1e-5f) && std::abs(Quaternionf(m.topLeftCorner<3, 3>()).norm() - 1) < 1e-5f);
    Array33i counts = (Array33i() << 1, 2, 3, 4, 5, 6, 7, 8, 9).finished();
    std::cout << counts.rowwise().sum().transpose() << " " << counts.maxCoeff() << " " << (counts > 4).count() << "\n";
}
