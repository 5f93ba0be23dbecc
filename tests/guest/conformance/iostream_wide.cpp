// Wide streams in the C locale.
#include <iostream>
#include <sstream>
#include <string>

int main()
{
    std::wcout << L"wide " << 42 << L' ' << 1.5 << std::endl;
    std::wistringstream in(L"7 seven");
    int n;
    std::wstring word;
    in >> n >> word;
    std::wcout << n << L'|' << word << L'|' << word.size() << std::endl;
    std::u16string s16 = u"sixteen";
    std::u32string s32 = U"thirty-two";
    std::u8string s8 = u8"eight";
    std::wcout << s16.size() << L' ' << s32.size() << L' ' << s8.size() << std::endl;
    std::wcout << std::stoi(L"99") + 1 << L' ' << std::to_wstring(2.5) << std::endl;
}
