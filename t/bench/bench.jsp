<%-- For the benchmarks: reads the body, answers size bytes with that many fields. --%>
<%@ page session="false" contentType="text/plain" trimDirectiveWhitespaces="true" %>
<%!
    static final byte[] BLOCK = new byte[65536];
    static { java.util.Arrays.fill(BLOCK, (byte) 'x'); }
%>
<%
    long left = Long.parseLong(request.getParameter("size"));
    int fields = Integer.parseInt(request.getParameter("fields"));
    java.io.InputStream in = request.getInputStream();
    byte[] read = new byte[65536];
    while (request.getContentLengthLong() > 0 && in.read(read) > 0) { }
    for (int i = 1; i <= fields; i++) {
        response.setHeader(String.format("X-Bench-Field-%02d", i), String.format("value-%02d-of-thirty", i));
    }
    response.setContentLengthLong(left);
    java.io.OutputStream body = response.getOutputStream();
    for (; left > 0; left -= BLOCK.length) {
        body.write(BLOCK, 0, (int) Math.min(left, BLOCK.length));
    }
    body.flush();
    out = pageContext.pushBody();
%>
